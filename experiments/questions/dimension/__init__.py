"""Question 2: how does the exponent follow the data's intrinsic dimension?"""
