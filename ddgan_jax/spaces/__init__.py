"""Where a method works: pixels, Haar bands, latents."""
