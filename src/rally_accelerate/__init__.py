"""Carries Rally work items and their history to HCL Accelerate."""

__version__ = "0.1.0"
