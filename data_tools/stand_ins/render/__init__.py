"""Draws images and exact segmentations of `data_tools.stand_ins.scenes.Scenes` by ray casting in plain torch."""

from data_tools.stand_ins.render.caster import SIZE_RANGE, Rendered, label_maps, render, visible_pixels

__all__ = ["SIZE_RANGE", "Rendered", "label_maps", "render", "visible_pixels"]
