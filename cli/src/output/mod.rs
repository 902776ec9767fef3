//! Rows of values to a table for people, or to json, csv and tsv for programs.
