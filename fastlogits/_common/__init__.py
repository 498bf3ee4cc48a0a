"""What all parts of the package share: inputs, parameters, errors, threads."""
