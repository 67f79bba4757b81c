"""A finished run as a program that runs without this package: ONNX, StableHLO, SavedModel, safetensors."""
