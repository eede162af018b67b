"""How weights come about: winner-take-all learning, supervised learning, their regularizers, and pruning."""
