"""What a forecast is made of: trainings on parts of the data, the curve through them, and what to label next."""
