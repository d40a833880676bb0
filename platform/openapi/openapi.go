// Package openapi holds the running services to their OpenAPI descriptions with schemathesis.
package openapi
