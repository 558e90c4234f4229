"""The mathematics of diffusion: schedules, processes, degradations, instance noise, Haar bands."""
