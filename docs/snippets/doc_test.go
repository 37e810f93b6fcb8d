// Package snippets_test is the Go of the pages in docs: each file belongs to the page of its name. What stands between "// snippet:" and
// "// end snippet" is shown there, and the tests run it.
package snippets_test
