"""Makes ZAP's plugin folder out of add-ons that were published as libraries: assemble.py FOLDER.

An add-on's package is its jar with the libraries that its manifest names below libs/. Those libraries must leave the
class path: the add-on has classes in their packages.
"""

import os
import re
import shutil
import sys
import zipfile

ADDONS = {"network": "beta", "commonlib": "release", "spider": "release", "automation": "beta"}
EMPTY = """<zapaddon><name>{0} (empty)</name><version>0.10.0</version><status>alpha</status>
<description>Stands where tests need none.</description><author>none</author>
<not-before-version>2.17.0</not-before-version></zapaddon>"""


def main(folder):
    lib, plugin = os.path.join(folder, "lib"), os.path.join(folder, "plugin")
    os.makedirs(plugin)
    for name, status in ADDONS.items():
        jar = next(f for f in os.listdir(lib) if re.fullmatch(name + r"-[0-9.]+\.jar", f))
        package = os.path.join(plugin, "%s-%s-%s.zap" % (name, status, jar[len(name) + 1 : -4]))
        shutil.move(os.path.join(lib, jar), package)
        with zipfile.ZipFile(package, "a", zipfile.ZIP_DEFLATED) as z:
            for needed in re.findall(r"<lib>libs/([^<]+)</lib>", z.read("ZapAddOn.xml").decode()):
                z.write(os.path.join(lib, needed), "libs/" + needed)
                os.remove(os.path.join(lib, needed))
    for name in ("callhome", "database"):
        with zipfile.ZipFile(os.path.join(plugin, name + "-alpha-0.10.0.zap"), "w") as z:
            z.writestr("ZapAddOn.xml", EMPTY.format(name))
    for name in os.listdir(lib):  # it binds to an API that is in the network add-on now
        if name.startswith("log4j-slf4j-impl"):
            os.remove(os.path.join(lib, name))


main(sys.argv[1])
