"""What a network sees: its layers' maps, and which pixels its answer rests on. Functions of arrays and Flax models."""
