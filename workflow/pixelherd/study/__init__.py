"""What a study says: its file, its runs, what each stage takes of it, and what it will cost."""
