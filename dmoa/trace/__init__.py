"""What a run wrote down, and every number read from it: codec, measures, statistics, replay."""
