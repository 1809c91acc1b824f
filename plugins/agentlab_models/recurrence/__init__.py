"""Recurrent layers, the kernels of their recurrences, and the networks that are made of them."""
