// Audits a bundle with golang.org/x/mod/sumdb, the code of Go's own checksum database, and nothing of ours.
//
//	audit BUNDLE LOG-KEY [WITNESS-KEY]
//
// Says what holds, and ends with 1 at the first thing that does not.
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// bundle reads tiles; x/mod names the height in the path, tlog-tiles does not.
type bundle string

func (b bundle) Height() int                                { return height }
func (b bundle) SaveTiles(tiles []tlog.Tile, data [][]byte) {}
func (b bundle) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	all := make([][]byte, 0, len(tiles))
	for _, tile := range tiles {
		data, err := os.ReadFile(b.path(tile))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (b bundle) path(tile tlog.Tile) string {
	path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
	return filepath.Join(string(b), strings.Replace(path, "tile/data/", "tile/entries/", 1))
}

// cosigner verifies a witness's line (C2SP tlog-cosignature), which x/mod does not know.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	head := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(c.key, append([]byte(head), msg...), sig[8:])
}

func witness(text string) cosigner {
	parts := strings.SplitN(text, "+", 3)
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	check(err)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	check(err)
	return cosigner{parts[0], uint32(hash), key[1:]}
}

func check(err error) {
	if err != nil {
		fmt.Println("NO ", err)
		os.Exit(1)
	}
}

func opened(path string, verifiers []note.Verifier, need int) tlog.Tree {
	text, err := os.ReadFile(path)
	check(err)
	signed, err := note.Open(text, note.VerifierList(verifiers...))
	check(err)
	if len(signed.Sigs) < need {
		check(fmt.Errorf("%s bears %d of %d signatures", path, len(signed.Sigs), need))
	}
	lines := strings.Split(signed.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	root, err := tlog.ParseHash(lines[2])
	check(err)
	return tlog.Tree{N: size, Hash: root}
}

func main() {
	b := bundle(os.Args[1])
	log, err := note.NewVerifier(os.Args[2])
	check(err)
	verifiers := []note.Verifier{log}
	if len(os.Args) > 3 {
		verifiers = append(verifiers, witness(os.Args[3]))
	}
	tree := opened(filepath.Join(string(b), "checkpoint"), verifiers, len(verifiers))
	// Every hash that this gives back was verified against the root.
	hashes := tlog.TileHashReader(tree, b)
	for first := int64(0); first < tree.N; first += 1 << height {
		width := tree.N - first
		if width > 1<<height {
			width = 1 << height
		}
		data, err := os.ReadFile(b.path(tlog.Tile{H: height, L: -1, N: first >> height, W: int(width)}))
		check(err)
		indexes := make([]int64, width)
		for i := range indexes {
			indexes[i] = tlog.StoredHashIndex(0, first+int64(i))
		}
		known, err := hashes.ReadHashes(indexes)
		check(err)
		for i := range indexes {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				check(fmt.Errorf("entry %d is cut off", first+int64(i)))
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			if tlog.RecordHash(data[2:end]) != known[i] {
				check(fmt.Errorf("entry %d is not that of the tree", first+int64(i)))
			}
			data = data[end:]
		}
		if len(data) != 0 {
			check(fmt.Errorf("%d bytes follow entry %d", len(data), first+width-1))
		}
	}
	fmt.Println("ok  entries", tree.N)
	step := tree.N/97 + 1
	for i := int64(0); i < tree.N; i += step {
		proof, err := tlog.ProveRecord(tree.N, i, hashes)
		check(err)
		leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
		check(err)
		check(tlog.CheckRecord(proof, tree.N, tree.Hash, i, leaf[0]))
	}
	fmt.Println("ok  inclusion")
	earlier, err := filepath.Glob(filepath.Join(string(b), "checkpoints", "*"))
	check(err)
	sort.Strings(earlier)
	for _, path := range earlier {
		old := opened(path, verifiers[:1], 1)
		proof, err := tlog.ProveTree(tree.N, old.N, hashes)
		check(err)
		check(tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash))
	}
	fmt.Println("ok  consistency", len(earlier))
}
