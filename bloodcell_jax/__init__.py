"""Train, judge and use white-cell classifiers with JAX. Research use only, never a diagnosis."""

__version__ = '0.1.0'
