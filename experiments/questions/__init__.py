"""The open questions of the paper, each a scripted experiment with a page: ``python -m experiments.questions 1``.

A question is a :class:`experiments.questions.question.Question`: its plan of tasks, what of their outcomes goes into
results.json, its figures, and the hypotheses that its page gives a verdict on. ``QUESTIONS`` of
``experiments.questions.registry`` has them by number.
"""
