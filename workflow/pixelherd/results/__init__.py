"""What people see of a study: tables, figures, and the report that holds them all."""
