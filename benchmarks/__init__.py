"""This library against PyTorch, stage by stage: same weights, same data, same results, interleaved, medians.

    python -m benchmarks --out benchmarks/results/NAME

writes NAME.json and NAME.md. Every stage is a row (``stages*.py``) with up to four contestants:

``eager``     PyTorch from the equations, the way that the published code works: a DataLoader, one ε at a time,
              automatic differentiation for every row of a Jacobian;
``lean``      eager PyTorch as one who knows it would write the same: batches by index, fused Adam, no needless
              gradients, and where it exists our shorter way;
``compiled``  the lean one under ``torch.compile``, where that was seen to help;
``ours``      what the experiments call.

Ratios of one run on one machine are what is claimed. On a CPU, absolute times are indications.
"""
