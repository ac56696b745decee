"""Links the compiled SWIG wrapper against PJSIP and packs it.

Copied into PJSIP's own tree as setup.py.
"""

import os

from setuptools import Extension, setup

module = Extension(
    "_pjsua2",
    sources=[],
    extra_objects=[os.environ["PJSUA2_WRAPPER"]],
    extra_link_args=os.environ["PJSUA2_LINK"].split("\n"),
    language="c++",
)
setup(
    name="pjsua2",
    version=os.environ["PJSUA2_VERSION"],
    description="PJSIP's pjsua2, built for Overdial with room for a line process's calls",
    license="GPL-2.0-or-later",
    ext_modules=[module],
    py_modules=["pjsua2"],
)
