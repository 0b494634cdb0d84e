"""The bill of materials of a build, as CycloneDX 1.5: reads `cargo metadata` from standard input.

Only what the program holds is listed: normal and build dependencies that this system's build takes, and the SQLite that
one of them brings. No time and no random number: the same lock file gives the same bytes.
"""

import json
import os
import re
import sys
import tomllib
from datetime import datetime, timezone

VERSION = sys.argv[1]
metadata = json.load(sys.stdin)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
root = metadata["resolve"]["root"]

with open("Cargo.lock", "rb") as lock:
    checksums = {(entry["name"], entry["version"]): entry.get("checksum") for entry in tomllib.load(lock)["package"]}


def needed(id):
    """The packages that this one is built with; no development dependencies."""
    return sorted(
        dependency["pkg"]
        for dependency in nodes[id]["deps"]
        if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])
    )


def purl(package, version=None):
    return f"pkg:cargo/{package['name']}@{version or package['version']}"


def component(package):
    described = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
    }
    if package["license"]:
        # Old packages write "MIT/Apache-2.0".
        described["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}]
    if checksum := checksums.get((package["name"], package["version"])):
        described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return described


def sqlite(package):
    """The bundled SQLite has a version of its own, which its header tells."""
    header = os.path.join(os.path.dirname(package["manifest_path"]), "sqlite3", "sqlite3.h")
    with open(header, encoding="utf-8") as text:
        version = re.search(r'#define SQLITE_VERSION\s+"([^"]+)"', text.read())[1]
    return {
        "type": "library",
        "bom-ref": f"pkg:generic/sqlite@{version}",
        "name": "sqlite",
        "version": version,
        "purl": f"pkg:generic/sqlite@{version}",
        "licenses": [{"expression": "blessing"}],
    }


found, waiting = set(), [root]
while waiting:
    id = waiting.pop()
    if id not in found:
        found.add(id)
        waiting.extend(needed(id))

components, dependencies = [], []
for id in sorted(found, key=lambda id: purl(packages[id])):
    package = packages[id]
    depends = [purl(packages[other]) for other in needed(id)]
    if id == root:
        dependencies.append({"ref": purl(package, VERSION), "dependsOn": depends})
        continue
    if package["name"] == "libsqlite3-sys":
        bundled = sqlite(package)
        components.append(bundled)
        depends.append(bundled["bom-ref"])
        dependencies.append({"ref": bundled["bom-ref"], "dependsOn": []})
    components.append(component(package))
    dependencies.append({"ref": purl(package), "dependsOn": depends})

program = packages[root]
bill = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "version": 1,
    "metadata": {
        "timestamp": datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), timezone.utc).isoformat(),
        "component": {
            "type": "application",
            "bom-ref": purl(program, VERSION),
            "name": program["name"],
            "version": VERSION,
            "purl": purl(program, VERSION),
            "licenses": [{"expression": program["license"]}],
        },
    },
    "components": components,
    "dependencies": dependencies,
}
json.dump(bill, sys.stdout, indent=1, sort_keys=True)
sys.stdout.write("\n")
