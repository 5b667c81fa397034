#!/usr/bin/env bash
# npm crdtoapi 0.0.19, crdtotypes: a field that is a number or a string becomes one of type undefined.
#
# Expected: number | string for x-kubernetes-int-or-string, which Kubernetes writes with anyOf, as controller-gen does for ports and percentages.
# Seen: "port: undefined", required at that: an object of that type cannot be written in TypeScript. A field
# of any type is undefined too, where its own help promises "unknown | null" for a missing type.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts crdtoapi@0.0.19 > /dev/null
mkdir crds types
cat > crds/rooms.yaml <<'END'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rooms.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Room, plural: rooms}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size, port]
            properties:
              size: {type: integer}
              port: {anyOf: [{type: integer}, {type: string}], x-kubernetes-int-or-string: true}
              any: {x-kubernetes-preserve-unknown-fields: true}
END
npx --no-install crdtoapi -i crds -o api.yaml > /dev/null
npx --no-install crdtotypes -i api.yaml -o types > /dev/null
seen=$(grep -E '^ +(size|port|any)' types/V1RoomSpec.ts)
expected='  size: number;
  port: undefined;
  any?: undefined;'
printf 'crdtoapi 0.0.19:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
