"""The attacks over many strengths by which critical perturbations are found."""

ATTACKS = ("gaussian", "fgsm", "pgd")
PUBLISHED_NOISE = "gaussian_published"
