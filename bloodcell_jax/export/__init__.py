"""Exports a finished run as a model that runs without this package: ONNX, StableHLO, SavedModel, safetensors."""
