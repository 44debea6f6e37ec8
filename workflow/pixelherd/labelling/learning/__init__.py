"""The process that learns from answers: it reads photographs, fits, paints and proposes; and who starts it."""
