"""From a recipe to tables: data sources, recipes, the engine, the run store and the sweep."""
