"""What a campaign's own past says about other settings: read it, fit a scenario, tell it."""
