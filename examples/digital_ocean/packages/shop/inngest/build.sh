#!/bin/sh
# The platform runs this before it packs the function: libraries go where it looks for them.
set -e
virtualenv --without-pip virtualenv
pip install -r requirements.txt --target virtualenv/lib/python3*/site-packages
