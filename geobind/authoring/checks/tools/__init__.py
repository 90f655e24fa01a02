"""What checks need beside the plugin: bad items, example data, batches, a fresh process, a device that is none."""
