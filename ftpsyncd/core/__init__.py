"""The decisions: which files, when, in what order. Pure: no I/O, no threads, no clock (now is an argument), no logging.

Read in the order in which a path flows: `filters` (is it published at all?), `settle` (is it quiet?), `plan` (what
must be done?), `schedule` (what is next?). Called by the engine; everything is data in and data out.
"""
