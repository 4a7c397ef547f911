"""Drawing of a network from its layer graph, for any registered architecture."""

from collections.abc import Sequence

from pixelwise.drawing.graph import Node
from pixelwise.drawing.grid import is_nested, lay_out_grid
from pixelwise.drawing.layout import lay_out_path
from pixelwise.drawing.style import NetworkLayout, frame, legend
from pixelwise.drawing.writing import Drawing


def lay_out(nodes: Sequence[Node], dimensions: int) -> NetworkLayout:
    """Lay out the boxes: a grid for nested networks (U-Net++), else a U or a staircase."""
    return lay_out_grid(nodes, dimensions) if is_nested(nodes) else lay_out_path(nodes, dimensions)


def draw_network(nodes: Sequence[Node], dimensions: int, titles: Sequence[str]) -> Drawing:
    """Draw a network.

    Parameters
    ----------
    nodes : sequence of Node
        Result of `read_nodes`.
    dimensions : {2, 3}
        Of the images.
    titles : sequence of str
        Up to three lines above the drawing, the name first.
    """
    cropped = any(node.size < nodes[skip.node].size for node in nodes if node.kind == "joined" for skip in node.skips)
    return frame(lay_out(nodes, dimensions), titles, legend(nodes, dimensions, cropped))
