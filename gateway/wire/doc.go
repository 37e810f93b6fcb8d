// Package wire owns the bytes of the RivetKit client protocol: what a published npm
// client sends, what it must be sent, and nothing of how that travels or what it does.
//
// It parses and builds; it refuses to open sockets, look at headers by itself, keep
// sessions or decide about retries. The package is pure.
//
//	        from the client                                to the client
//	HTTP    DecodeActionRequest, DecodeQueueRequest        AppendActionResponse, AppendQueueResponse, AppendErrorBody
//	socket  DecodeClientMessage                            AppendInit, AppendEvent, AppendActionResult, AppendErrorFrame
//	URL     ParseGatewayPath, ParseHeaderRoute, ParseActorsQuery, ParseSubprotocols
//	/actors DecodeActorsRequest                            AppendActor, AppendActorEnsured, AppendActorList
//
// # Values
//
// The log stores JSON text in which two-element arrays that begin with a "$" name are
// tags for what JSON cannot carry ("compat" text, RIVET-PROTOCOL.md 5.1):
//
//	["$BigInt","n"] ["$Uint8Array","b64"] ["$ArrayBuffer","b64"] ["$Undefined",0] ["$Set",[...]]
//	["$$x",y]   the plain array ["$x",y]
//
// Everything that this package hands out as json.RawMessage is such text: valid UTF-8,
// without insignificant space, without duplicate object keys, at most [MaxDepth] deep.
// Lists of arguments are the exception at their top level: they are always a list, never
// a tag, and their first element is never escaped there.
//
// Where a client puts tags depends on its version and encoding. [Format] carries both:
//
//	                      from the client          to the client
//	JSON, 2.3 and later   tags                     tags
//	JSON, older           tags (only BigInt,       the same; undefined as null, a Set as array
//	                      bytes, escaped arrays)
//	BARE, version 4       tags, native CBOR too    tags inside CBOR
//	BARE, 1 to 3          native CBOR              native CBOR
//	CBOR, 2.3 and later   native CBOR              tags inside CBOR
//	CBOR, older           native CBOR              native CBOR
//
// To a client of unknown version (old clients do not announce theirs on JSON and CBOR
// sockets) JSON goes as to an old one, and CBOR goes native but with escaped arrays: that
// is right for all versions, except that an old CBOR client sees the "$" of the escape.
//
// Numbers: a plain JSON number always is a JavaScript number, that is a float64, in all
// three encodings. Integers from -2^32 to 2^32-1 become CBOR integers, all other numbers
// CBOR float64, because the client turns 8-byte CBOR integers into BigInt. So an integer
// beyond 2^53 arrives rounded, exactly as JSON.parse would round it; who needs all its
// digits writes ["$BigInt","n"]. The other way, 8-byte CBOR integers and bignums become
// ["$BigInt","n"], and NaN and the infinities become null, as JSON.stringify writes them.
//
// What native CBOR has and tags have not: a Date (tag 1) becomes its ISO 8601 text as
// JSON.stringify writes it (an invalid one null), a Map (tag 259) an object if its keys are
// strings or integers (else an error), a typed array (tags 65 to 87) an array of numbers,
// an Error or RegExp (tag 27) the array that cbor-x makes of it.
//
// # Failure
//
// Every decoder returns a [*Error] whose group and code may go to the client. None
// panics, whatever the bytes; none returns more than about 20 times what it was given.
package wire
