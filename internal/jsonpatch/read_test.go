package jsonpatch_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/internal/jsonpatch"
)

func TestEach(t *testing.T) {
	t.Parallel()
	var ops []jsonpatch.Op
	collect := func(o jsonpatch.Op) bool { ops = append(ops, o); return true }
	require.NoError(t, jsonpatch.Each([]byte(`[{"op":"add","path":"/a~1b/0","value":[1]}, {"op":"move","from":"/x","path":"/\u00e9"}]`), collect))
	require.Equal(t, []jsonpatch.Op{
		{Op: "add", Path: "/a~1b/0", Text: []byte(`{"op":"add","path":"/a~1b/0","value":[1]}`)},
		{Op: "move", Path: "/\u00e9", From: "/x", Text: []byte(`{"op":"move","from":"/x","path":"/\u00e9"}`)},
	}, ops)

	ops = nil
	require.Error(t, jsonpatch.Each([]byte(`[{"op":"remove","path":"/a"},{"op":"remove"`), collect))
	require.Len(t, ops, 1, "what comes before the error is passed on")
	require.Error(t, jsonpatch.Each([]byte(`{}`), collect))
}

func TestAt(t *testing.T) {
	t.Parallel()
	doc := []byte(` {"a":[{"b c":1},2],"~":{"x/y":"z"},"\u00e9":true,"":null} `)
	for pointer, want := range map[string]string{
		"/a/0/b c": "1", "/a/1": "2", "/~0/x~1y": `"z"`, "/\u00e9": "true", "/": "null", "/a/0": `{"b c":1}`,
	} {
		got, ok := jsonpatch.At(doc, pointer)
		require.True(t, ok, pointer)
		require.Equal(t, want, string(got), pointer)
	}
	for _, pointer := range []string{"/b", "/a/2", "/a/-", "/a/00", "/a/1/x", "a"} {
		_, ok := jsonpatch.At(doc, pointer)
		require.False(t, ok, pointer)
	}
}

func TestMemberAndElement(t *testing.T) {
	t.Parallel()
	doc := []byte(`{"0":"name","list":["index"],"~1":"tilde"}`)
	got, ok := jsonpatch.Member(doc, "0")
	require.True(t, ok)
	require.Equal(t, `"name"`, string(got))
	got, ok = jsonpatch.Member(doc, "~1")
	require.True(t, ok)
	require.Equal(t, `"tilde"`, string(got))
	_, ok = jsonpatch.Element(doc, 0)
	require.False(t, ok, "an object has no elements")
	list, _ := jsonpatch.Member(doc, "list")
	got, ok = jsonpatch.Element(list, 0)
	require.True(t, ok)
	require.Equal(t, `"index"`, string(got))
	_, ok = jsonpatch.Member(list, "0")
	require.False(t, ok, "an array has no members")
	_, ok = jsonpatch.Element(list, 1)
	require.False(t, ok)
}
