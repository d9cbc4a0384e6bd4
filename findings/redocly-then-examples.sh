#!/usr/bin/env bash
# Redocly refuses an example that its schema takes, where the schema says by if and then which members exclude each other.
#
# Version: @redocly/cli 2.77.0, ajv 8.20.0 (npm), an OpenAPI 3.1 document.
# JSON Schema 2020-12 lets a closed object say with if, then and else that one of two members must be null; a validator takes the
# example. Redocly's rule no-invalid-media-type-examples has the option allowAdditionalProperties, false by default, which puts
# unevaluatedProperties: false into what it checks against; by its messages into the subschema of `then` as well, which names only one of the members, so that
# every other member of a right example counts as unevaluated there ("must match then schema"). Source: the rule's page in Redocly's
# documentation names the option, and nothing of subschemas. With the option set to true the example is taken; a schema that is closed by
# additionalProperties stays closed.
set -eu -o pipefail
cd "$(dirname "$0")"
. ./common
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts @redocly/cli@2.77.0 ajv@8.20.0 > /dev/null 2>&1
cat > document.json <<'JSON'
{"openapi":"3.1.0","info":{"title":"t","version":"1"},"servers":[{"url":"https://service.example"}],"paths":{"/things":{"post":{"operationId":"thing","summary":"s","responses":{"204":{"description":"done"}},
 "requestBody":{"content":{"application/json":{"example":{"number":22,"length":"PT1H"},"schema":{"type":"object","additionalProperties":false,
  "properties":{"number":{"type":"integer"},"length":{"type":["string","null"]},"end":{"type":["string","null"]}},
  "if":{"required":["length"],"properties":{"length":{"not":{"type":"null"}}}},"then":{"properties":{"end":{"type":"null"}}},"else":{"required":["end"]}}}}}}}}}
JSON
cat > rules.yaml <<'YAML'
rules:
  no-invalid-media-type-examples: error
YAML
cat > open.yaml <<'YAML'
rules:
  no-invalid-media-type-examples:
    severity: error
    allowAdditionalProperties: true
YAML
cat > valid.mjs <<'JS'
import { readFileSync } from "node:fs";
import Ajv from "ajv/dist/2020.js";
const media = JSON.parse(readFileSync("document.json")).paths["/things"].post.requestBody.content["application/json"];
console.log(new Ajv.default({ strict: false }).validate(media.schema, media.example));
JS
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
lint() { if npx --no-install redocly lint --config "$1" document.json > out 2>&1; then echo taken; else grep -oE 'must NOT have unevaluated properties|must match "then" schema' out | sort -u | paste -sd,; fi; }
expect "the example against its schema, by ajv" true "$(node valid.mjs)"
expect "the same, by redocly" 'must NOT have unevaluated properties,must match "then" schema' "$(lint rules.yaml)"
expect "the same, with allowAdditionalProperties" taken "$(lint open.yaml)"
