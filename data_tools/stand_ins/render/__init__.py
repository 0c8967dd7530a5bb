"""A batched analytic ray caster in plain torch: images and exact segmentations of
`data_tools.stand_ins.scenes.Scenes`."""

from data_tools.stand_ins.render.caster import SIZE_RANGE, Rendered, label_maps, render, visible_pixels

__all__ = ["SIZE_RANGE", "Rendered", "label_maps", "render", "visible_pixels"]
