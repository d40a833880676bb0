#!/bin/sh
# Makes stand-ins for the images that come from a registry or need a container engine, of Debian packages
# and of what "meesh up" has fetched, and loads all images of the mesh into a test cluster.
#
#   KUBEBOX=kubebox k8s/e2e/stand-ins.sh [IMAGE…]
#
# KUBEBOX is a program that has "debroot --small FOLDER PACKAGE…" (unpacks Debian packages), "image NAME --root FOLDER|PROGRAM …"
# (makes an image of a folder and loads it), "load ARCHIVE" and "postgres NAME". CACHE is the folder of what was fetched.
set -eu
cd "$(dirname "$0")/../.."
: "${KUBEBOX:=kubebox}" "${CACHE:=/var/cache/datameesh}"
version=0.1.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$work/" ./platform/cmd/mesh-setup

found() { # the newest package of a name in the cache
	# shellcheck disable=SC2231 # a pattern
	for folder in "$CACHE"/$1; do :; done
	test -d "$folder" || { echo "stand-ins: $folder is not there; fetch it with: meesh up" >&2; exit 3; }
	echo "$folder"
}
base() { # NAME PACKAGE…: a root of Debian packages, with a shell
	name=$1; shift
	"$KUBEBOX" debroot --small "$work/$name" dash coreutils libc-bin base-files tzdata libc6 libgcc-s1 libstdc++6 zlib1g "$@"
	ln -sf dash "$work/$name/bin/sh"
	mkdir -p "$work/$name/opt" "$work/$name/bin"
}
user() { # NAME LINE: who runs in it; Hadoop and Python want a name
	echo "$2" >> "$work/$1/etc/passwd"
}
own() { # IMAGE: the archive of "make images"
	(cd k8s && GOWORK=off go run ./cmd/images -root .. -out "$work" -platform linux/amd64 -only "$1")
	"$KUBEBOX" load "$work/$1-$version.oci.tar"
}

make_mesh() { own mesh; }
make_sales() { own sales; }
make_marketing() { own marketing; }
make_apimetrics() { own apimetrics; }
make_postgres() { "$KUBEBOX" postgres docker.io/library/postgres:15.18; }
make_trino() {
	base trino bash
	mkdir -p "$work/trino/usr/lib"
	cp -a "$(found 'trino-4*')" "$work/trino/usr/lib/trino"; cp -a "$(found 'jdk-25*')" "$work/trino/opt/java"
	user trino 'trino:x:1000:1000::/data:/sbin/nologin'
	"$KUBEBOX" image docker.io/trinodb/trino:476 --root "$work/trino" --user 1000:1000 --env JAVA_HOME=/opt/java --env PATH=/opt/java/bin:/usr/bin:/bin --env LANG=C.UTF-8
}
make_hive_metastore() {
	base metastore
	cp -a "$(found 'hive-metastore-3*')" "$work/metastore/opt/hive-metastore"; cp -a "$(found 'hive-metastore-libraries-*')" "$work/metastore/opt/hive-libraries"
	cp -a "$(found 'jdk-21*')" "$work/metastore/opt/java"
	mkdir -p "$work/metastore/opt/datameesh/java"; cp platform/hive/java/LocalMetastore.class "$work/metastore/opt/datameesh/java/"
	cp "$work/mesh-setup" "$work/metastore/bin/"
	user metastore 'hive:x:1000:1000::/tmp:/sbin/nologin'
	"$KUBEBOX" image "docker.io/datameesh/hive-metastore:$version" --root "$work/metastore" --user 1000:1000 --env JAVA_HOME=/opt/java --env PATH=/opt/java/bin:/usr/bin:/bin --env LANG=C.UTF-8
}
make_object_store() {
	base store
	cp "$(found 'versitygw-*')/bin/versitygw" "$work/mesh-setup" "$work/store/bin/"
	user store 'store:x:1000:1000::/tmp:/sbin/nologin'
	"$KUBEBOX" image "docker.io/datameesh/object-store:$version" --root "$work/store" --user 1000:1000 --env PATH=/usr/bin:/bin --env TZ=UTC
}
python() { # NAME: a root with Python
	base "$1" python3.11-minimal libpython3.11-stdlib ca-certificates openssl
	ln -sf python3.11 "$work/$1/usr/bin/python3"
}
project() { # NAME: the dbt project in it
	cp -a domains "$work/$1/opt/project"; cp platform/dbt/profiles.yml "$work/$1/opt/project/"
	cp -a "$(found 'dbt-1*')" "$work/$1/opt/dbt"
}
make_dbt() {
	python dbt; project dbt; cp "$work/mesh-setup" "$work/dbt/bin/"
	user dbt 'dbt:x:1000:1000::/work:/sbin/nologin'
	"$KUBEBOX" image "docker.io/datameesh/dbt:$version" --root "$work/dbt" --user 1000:1000 --env PATH=/opt/dbt/bin:/usr/bin:/bin --env PYTHONDONTWRITEBYTECODE=1 --env LANG=C.UTF-8
}
program() { # NAME PROGRAM PACKAGE: a program of a Debian package, with its libraries, into a root
	from="$work/$3-of-$1"
	"$KUBEBOX" debroot --small "$from" "$3"
	cp "$from$2" "$work/$1/usr/bin/"
	for folder in lib usr/lib; do test ! -d "$from/$folder" || cp -an "$from/$folder/." "$work/$1/$folder/"; done
}
make_hub() {
	python hub; program hub /usr/bin/setpriv util-linux
	cp -a "$(found 'jupyterhub-*')" "$work/hub/opt/hub"; cp -a "$(found 'configurable-http-proxy-*')" "$work/hub/opt/proxy"
	# Debian 12 has a Node that is too old.
	cp /usr/bin/node "$work/hub/usr/bin/node"
	user hub 'hub:x:1000:1000::/srv/hub:/sbin/nologin'
	"$KUBEBOX" image "docker.io/datameesh/hub:$version" --root "$work/hub" --user 1000:1000 --env PATH=/opt/hub/bin:/usr/bin:/bin --env PYTHONDONTWRITEBYTECODE=1 --env LANG=C.UTF-8
}
make_notebook() {
	python notebook; project notebook; program notebook /usr/bin/find findutils; program notebook /bin/bash bash
	cp -a "$(found 'notebook-*')" "$work/notebook/opt/notebook"
	mkdir -p "$work/notebook/opt/mesh/notebooks" "$work/notebook/home/notebook"
	cp -a platform/jupyterhub/python platform/jupyterhub/lab "$work/notebook/opt/mesh/"
	for folder in domains/*/notebooks; do
		test -d "$folder" || continue
		cp -a "$folder" "$work/notebook/opt/mesh/notebooks/$(basename "$(dirname "$folder")")"
	done
	user notebook 'notebook:x:1000:1000::/home/notebook:/bin/sh'
	"$KUBEBOX" image "docker.io/datameesh/notebook:$version" --root "$work/notebook" --user 1000:1000 --env PATH=/opt/notebook/bin:/opt/dbt/bin:/usr/bin:/bin \
		--env PYTHONPATH=/opt/mesh/python --env PYTHONDONTWRITEBYTECODE=1 --env LANG=C.UTF-8
}
make_grafana() {
	rm -rf "$work/rootfs"; mkdir -p "$work/rootfs/usr/share/grafana/bin" "$work/rootfs/tmp"; chmod 1777 "$work/rootfs/tmp"
	(cd k8s && CGO_ENABLED=0 GOWORK=off go build -trimpath -buildvcs=false -o "$work/rootfs/usr/share/grafana/bin/grafana" ./e2e/no-grafana)
	"$KUBEBOX" image "docker.io/grafana/grafana:12.4.11" --root "$work/rootfs" --user 472:0
}
make_mailpit() {
	base mailbox
	cp "$(found 'mailpit-*')/bin/mailpit" "$work/mailbox/mailpit"
	"$KUBEBOX" image docker.io/axllent/mailpit:v1.27.11 --root "$work/mailbox" --user 1000:1000
}

[ $# -gt 0 ] || set -- mesh sales marketing apimetrics postgres trino hive-metastore object-store dbt hub notebook grafana mailpit
for image; do
	echo "stand-ins: $image" >&2
	"make_$(echo "$image" | tr - _)"
done
