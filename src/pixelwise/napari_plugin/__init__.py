"""The plugin for napari: `napari.yaml` names what its menus show, and `commands` does it."""
