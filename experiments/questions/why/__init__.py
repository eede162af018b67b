"""Question 1: why does the rule give power laws, and which property of image-like rows gives robustness?"""
