"""Devices and processes: mesh, shardings, batches, agreement between hosts."""
