"""Recording the operations of a network, so that parts of them can be computed on tiles.

A network runs once on a small image while all functions that PyTorch dispatches are written down. What a module is made
of does not matter, only that its functions treat every position of a map alike: convolutions, pooling, upsampling and
functions of single pixels. A network with any other function is not recorded.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pixelwise.geometry.layer_graph import Kind, LayerSpec
from pixelwise.geometry.statistics_passes import Operation

NORMS = (nn.GroupNorm, nn.InstanceNorm2d, nn.InstanceNorm3d)
_SAMPLE_STRIDES = 2  # side of the small image in total strides: coarse maps of more than one pixel can be normalised
_PARAMETERS = {  # names of the positional parameters of functions that move values between pixels
    "conv": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "conv_transpose": ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
    "max_pool": ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "avg_pool": ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    "interpolate": ("input", "size", "scale_factor", "mode", "align_corners"),
}
_SUMS = {"add", "add_", "iadd", "__add__", "__iadd__", "__radd__"}
_POINTWISE = _SUMS | {
    *("relu", "relu_", "leaky_relu", "leaky_relu_", "prelu", "sigmoid", "sigmoid_", "logsigmoid", "log_sigmoid"),
    *("sub", "__sub__", "rsub", "__rsub__", "mul", "__mul__", "__rmul__", "div", "__truediv__", "dropout", "clone"),
    *("cat", "stack", "__getitem__", "batch_norm", "pad", "log_softmax", "logsumexp", "group_norm", "instance_norm"),
}
_INTERPOLATIONS: Mapping[str, Kind] = {"nearest": "nearest", "bilinear": "bilinear", "trilinear": "bilinear"}


@dataclass(frozen=True)
class _Value:
    """A recorded value in the arguments of a call."""

    number: int


@dataclass(frozen=True)
class _Call:
    function: Callable[..., Tensor]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Recording:
    """The operations of a network, and how to compute them.

    Attributes
    ----------
    graph : tuple of Operation
        Value 0 is the image, the last one the logits.
    norms : tuple of str
        Name of the module of each whole-image normalisation, in the order of the operations with `groups`.
    """

    def __init__(self, graph: Sequence[Operation], calls: Sequence[_Call | None], norms: Sequence[str]) -> None:
        self.graph, self.norms, self._calls = tuple(graph), tuple(norms), calls

    def run(
        self,
        operations: Sequence[int],
        values: Mapping[int, Float[Tensor, "batch _ *_"]],
        wanted: Collection[int],
        normalise: Mapping[int, Callable[[Tensor], Tensor]],
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield the wanted values of some operations, which may be changed by those after them.

        Parameters
        ----------
        operations : sequence of int
            In order.
        values : mapping
            What they read; it may be changed in place.
        wanted : collection of int
            Numbers of computed or read values.
        normalise : mapping
            For whole-image normalisations, functions with known statistics.
        """
        alive = dict(values)
        yield from ((number, alive[number]) for number in alive if number in wanted)
        last_use = {source: number for number in operations for source in self.graph[number].inputs}
        for number in operations:
            alive[number] = self._compute(number, alive, normalise)
            if number in wanted:
                yield number, alive[number]
            for source in self.graph[number].inputs:
                if last_use.get(source) == number:
                    alive.pop(source, None)

    def _compute(
        self, number: int, alive: Mapping[int, Tensor], normalise: Mapping[int, Callable[[Tensor], Tensor]]
    ) -> Tensor:
        call = self._calls[number]
        if call is None:
            raise ValueError("the image is not computed")
        if number in normalise:
            return normalise[number](alive[self.graph[number].inputs[0]])
        kwargs = {name: _replace(value, alive) for name, value in call.kwargs.items()}
        return call.function(*(_replace(value, alive) for value in call.args), **kwargs)


class _Unknown(Exception):
    """A function that cannot be recorded."""


class _Recorder(TorchFunctionMode):
    """Writes down the functions that compute values from an image."""

    def __init__(self, image: Tensor, dimensions: int) -> None:
        super().__init__()
        self._numbers = {id(image): 0}
        self._alive = [image]  # so that no two values have one id
        self._sides = tuple(image.shape[2:])
        self.graph = [Operation(inputs=(), strides=(1,) * dimensions, channels=image.shape[1])]
        self.calls: list[_Call | None] = [None]

    def number(self, value: Tensor) -> int:
        """Return the number of a value."""
        return self._numbers[id(value)]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function, and write it down if it computes a value from others."""
        kwargs = kwargs or {}
        noted_args = tuple(self._note(value) for value in args)
        noted = {name: self._note(value) for name, value in kwargs.items()}
        inputs = tuple(dict.fromkeys(_numbers_in((noted_args, tuple(noted.values())))))
        result = func(*args, **kwargs)
        if not inputs or not isinstance(result, Tensor):
            if inputs and isinstance(result, tuple | list) and any(isinstance(value, Tensor) for value in result):  # type: ignore[reportUnknownVariableType]
                raise _Unknown
            return result
        self.graph.append(self._operation(func.__name__, args, kwargs, inputs, result))
        self.calls.append(_Call(func, noted_args, noted))
        self._numbers[id(result)] = len(self.graph) - 1
        self._alive.append(result)
        return result

    def _note(self, value: Any) -> Any:
        """Return an argument with recorded values replaced by their numbers."""
        if isinstance(value, Tensor):
            number = self._numbers.get(id(value))
            return value if number is None else _Value(number)
        if isinstance(value, tuple | list):
            return tuple(self._note(item) for item in value)  # type: ignore[reportUnknownVariableType]
        return value

    def _operation(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], inputs: tuple[int, ...], result: Tensor
    ) -> Operation:
        dimensions = len(self._sides)
        sides = tuple(result.shape[-dimensions:])
        if any(whole % side for whole, side in zip(self._sides, sides, strict=True)):
            raise _Unknown
        strides = tuple(whole // side for whole, side in zip(self._sides, sides, strict=True))
        channels = math.prod(result.shape[1:-dimensions])
        kind = name.lstrip("_").removesuffix("2d").removesuffix("3d")
        if kind not in _PARAMETERS:
            if name not in _POINTWISE or any(self.graph[index].strides != strides for index in inputs):
                raise _Unknown
            sums = name in _SUMS and len(inputs) > 1
            groups = _groups(name, args, kwargs, channels)
            return Operation(inputs=inputs, strides=strides, channels=channels, groups=groups, joins=sums)
        given = dict(zip(_PARAMETERS[kind], args, strict=False)) | dict(kwargs)
        layers = _layers(kind, given, dimensions)
        products = 0.0
        if kind.startswith("conv"):
            places = strides if kind == "conv" else self.graph[inputs[0]].strides
            products = given["weight"].numel() / math.prod(places)
        return Operation(inputs=inputs, strides=strides, channels=channels, layers=layers, products=products)


def record(network: nn.Module, dimensions: int, sides: Sequence[int], channels: int) -> Recording | None:
    """Record a network in evaluation mode; None if it has a function that cannot be computed on tiles.

    Parameters
    ----------
    dimensions : {2, 3}
        Spatial axes of its images.
    sides : sequence of int
        Of a small image that is valid for the network.
    channels : int
        Of the image.

    Examples
    --------
    >>> from pixelwise.networks.architectures import NetworkOptions, build
    >>> network = build(NetworkOptions(base=2, depth=1, normalisation="instance")).eval()
    >>> recording = record(network, 2, (8, 8), 1)
    >>> len(recording.norms), recording.graph[-1].channels
    (6, 2)
    """
    parameter = next(network.parameters())
    image = torch.zeros((1, channels, *sides), device=parameter.device, dtype=parameter.dtype)
    called: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: called.append(name))
        for name, module in network.named_modules()
        if isinstance(module, NORMS)
    ]
    recorder = _Recorder(image, dimensions)
    try:
        with torch.inference_mode(), recorder:
            logits = network(image)
        last = recorder.number(logits)
    except (_Unknown, KeyError):  # KeyError: logits that do not depend on the image
        return None
    finally:
        for hook in hooks:
            hook.remove()
    graph = recorder.graph[: last + 1]
    if len(called) != len(set(called)) or len(called) != sum(operation.groups > 0 for operation in graph):
        return None
    return Recording(graph, recorder.calls[: last + 1], called)


def sample_sides(strides: Sequence[int]) -> tuple[int, ...]:
    """Return the sides of the small image for a network of these total strides along each axis.

    Examples
    --------
    >>> sample_sides((8, 16, 16))
    (16, 32, 32)
    """
    return tuple(_SAMPLE_STRIDES * stride for stride in strides)


def _replace(value: Any, alive: Mapping[int, Tensor]) -> Any:
    """Return an argument with the values that it stands for."""
    if isinstance(value, _Value):
        return alive[value.number]
    if isinstance(value, tuple):
        return tuple(_replace(item, alive) for item in value)  # type: ignore[reportUnknownVariableType]
    return value


def _numbers_in(value: Any) -> Iterator[int]:
    if isinstance(value, _Value):
        yield value.number
    elif isinstance(value, tuple):
        for item in value:  # type: ignore[reportUnknownVariableType]
            yield from _numbers_in(item)


def _groups(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], channels: int) -> int:
    """Return the groups of a whole-image normalisation; 0 for another function."""
    if name == "instance_norm":
        return channels
    if name == "group_norm":
        return int(args[1] if len(args) > 1 else kwargs["num_groups"])
    if name == "batch_norm" and (args[5] if len(args) > 5 else kwargs.get("training", False)):
        raise _Unknown  # it would use the statistics of the batch
    return 0


def _layers(kind: str, given: Mapping[str, Any], dimensions: int) -> tuple[LayerSpec, ...]:
    """Return the layer along each axis."""

    def along(name: str, default: int) -> tuple[int, ...]:
        value = given.get(name)
        value = default if value is None else value
        if isinstance(value, str):
            raise _Unknown
        numbers = (value,) * dimensions if isinstance(value, int) else tuple(value)
        return numbers * dimensions if len(numbers) == 1 else numbers

    if kind == "interpolate":
        if given.get("scale_factor") is None or given.get("align_corners") or given["mode"] not in _INTERPOLATIONS:
            raise _Unknown
        factors = given["scale_factor"]
        factors = (factors,) * dimensions if isinstance(factors, int | float) else factors
        mode = _INTERPOLATIONS[given["mode"]]
        return tuple(LayerSpec(name=kind, kind=mode, stride=int(factor)) for factor in factors)
    kernels = tuple(given["weight"].shape[2:]) if kind.startswith("conv") else along("kernel_size", 1)
    strides = along("stride", 1) if kind.startswith("conv") or given.get("stride") is not None else kernels
    kinds: Mapping[str, Kind] = {"conv": "convolution", "conv_transpose": "transposed", "max_pool": "pooling"}
    fields = zip(kernels, strides, along("padding", 0), along("dilation", 1), strict=True)
    return tuple(
        LayerSpec(name=kind, kind=kinds.get(kind, "average"), kernel=k, stride=s, padding=p, dilation=d)
        for k, s, p, d in fields
    )
