"""The questions by their numbers."""

from collections.abc import Mapping

from experiments.questions.dimension.question import DIMENSION
from experiments.questions.mixing.question import BOUNDARIES, MIXING
from experiments.questions.question import Question
from experiments.questions.shape.question import SHAPE
from experiments.questions.why.question import WHY

QUESTIONS: Mapping[int, Question] = {
    question.number: question for question in (WHY, DIMENSION, SHAPE, MIXING, BOUNDARIES)
}
