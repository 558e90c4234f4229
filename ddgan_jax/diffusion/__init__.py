"""Mathematics without networks: schedules, diffusion, degradations, Haar bands, noise."""
