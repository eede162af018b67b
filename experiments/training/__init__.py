"""The training tasks: layers, decoders on frozen layers, networks by backpropagation, alone or many together."""
