"""The program that stands in for AWS's prebuilt inference images; see serve_image.py.

It is started as a script by whatever interpreter the model has, so nothing in this folder imports anything but the
standard library and what the model itself brings. Modules begin with `toolkit_` because a model's own modules are
imported beside them.
"""
