"""Tables of one's own: CSV files read a piece at a time, columns made into inputs, a network trained on them and kept."""

from tinytensor.data.csvfile import Batch, CsvFile
from tinytensor.tables.fitting import Fitted, TableRecipe, fit
from tinytensor.tables.model import Classes, Quantity, TableModel, load_model
from tinytensor.tables.predicting import predict_file
from tinytensor.tables.preprocessing import Found, Preprocessor
from tinytensor.tables.survey import Table, read

__all__ = [
    "Batch", "Classes", "CsvFile", "Fitted", "Found", "Preprocessor", "Quantity", "Table", "TableModel", "TableRecipe",
    "fit", "load_model", "predict_file", "read",
]  # fmt: skip
