"""Questions 4 and 5: many networks; which are most robust at their accuracy, and what goes with their boundaries?"""
