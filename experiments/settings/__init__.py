"""What an experiment can be told: groups of settings, one whole reproduction of them, its presets, a grid of them."""
