"""The separator: models, accelerators, stems."""
