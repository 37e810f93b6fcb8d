// Package docs is the pages for users, and the description of the HTTP routes that gateways serve.
package docs

import _ "embed"

// OpenAPI is openapi.yaml: an OpenAPI 3.1 document.
//
//go:embed openapi.yaml
var OpenAPI []byte
