"""From the outcomes of tasks to results.json, and what was published beside it."""
