package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

type list []string

func (l *list) String() string         { return strings.Join(*l, " ") }
func (l *list) Set(value string) error { *l = append(*l, value); return nil }

// buildImage writes a docker-archive: a configuration, one layer, and a manifest. Every input is a file of this machine.
//
//	localkube image -name N -out F.tar [-user U] [-env K=V] [-entrypoint A -entrypoint B] [-dir D[:mode]] [-libs] SRC:DST…
//
// -libs adds the shared libraries of every program that is copied.
func buildImage(args []string) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	name := flags.String("name", "", "image name with tag")
	out := flags.String("out", "", "archive to write")
	user := flags.String("user", "65532:65532", "user and group")
	libs := flags.Bool("libs", false, "add shared libraries")
	var env, entrypoint, dirs list
	flags.Var(&env, "env", "K=V")
	flags.Var(&entrypoint, "entrypoint", "argument of the entry point")
	flags.Var(&dirs, "dir", "empty directory, with :mode")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *name == "" || *out == "" || len(entrypoint) == 0 {
		return errors.New("-name, -out and -entrypoint are required")
	}
	entries := map[string]entry{}
	for _, dir := range dirs {
		path, mode, found := strings.Cut(dir, ":")
		bits := fs.FileMode(0o755)
		if found {
			if _, err := fmt.Sscanf(mode, "%o", &bits); err != nil {
				return err
			}
		}
		entries[clean(path)] = entry{dir: true, mode: bits}
	}
	for _, pair := range flags.Args() {
		source, target, found := strings.Cut(pair, ":")
		if !found {
			return fmt.Errorf("%s: want SRC:DST", pair)
		}
		if err := addTree(entries, source, target, *libs); err != nil {
			return err
		}
	}
	return writeArchive(*out, *name, *user, env, entrypoint, entries)
}

type entry struct {
	source string
	dir    bool
	mode   fs.FileMode
}

func clean(path string) string { return strings.TrimPrefix(filepath.Clean("/"+path), "/") }

func addTree(entries map[string]entry, source, target string, libs bool) error {
	resolved, err := filepath.EvalSymlinks(source)
	if err != nil {
		return err
	}
	return filepath.WalkDir(resolved, func(path string, item fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, _ := filepath.Rel(resolved, path)
		destination := clean(filepath.Join(target, relative))
		info, err := item.Info()
		if err != nil {
			return err
		}
		switch {
		case item.IsDir():
			entries[destination] = entry{dir: true, mode: info.Mode().Perm()}
		case info.Mode()&fs.ModeSymlink != 0:
			// What a link leads to may lie outside the tree: copy the content.
			final, err := filepath.EvalSymlinks(path)
			if err != nil {
				return nil
			}
			finalInfo, err := os.Stat(final)
			if err != nil || finalInfo.IsDir() {
				return err
			}
			entries[destination] = entry{source: final, mode: finalInfo.Mode().Perm()}
			return addLibraries(entries, final, libs)
		case info.Mode().IsRegular():
			entries[destination] = entry{source: path, mode: info.Mode().Perm()}
			return addLibraries(entries, path, libs)
		}
		return nil
	})
}

func addLibraries(entries map[string]entry, program string, wanted bool) error {
	if !wanted {
		return nil
	}
	header := make([]byte, 4)
	file, err := os.Open(program)
	if err != nil {
		return err
	}
	_, _ = io.ReadFull(file, header)
	file.Close()
	if string(header) != "\x7fELF" {
		return nil
	}
	output, err := exec.Command("ldd", program).CombinedOutput()
	if err != nil {
		return nil // static
	}
	for _, line := range strings.Split(string(output), "\n") {
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "/") {
				final, err := filepath.EvalSymlinks(word)
				if err != nil {
					continue
				}
				entries[clean(word)] = entry{source: final, mode: 0o755}
			}
		}
	}
	return nil
}

func writeArchive(out, name, user string, env, entrypoint []string, entries map[string]entry) error {
	layer, err := os.CreateTemp(filepath.Dir(out), "layer-*")
	if err != nil {
		return err
	}
	defer os.Remove(layer.Name())
	digest := sha256.New()
	if err := writeLayer(io.MultiWriter(layer, digest), entries); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:00Z",
		"config": map[string]any{"User": user, "Env": append([]string{"PATH=/usr/local/bin:/usr/bin:/bin"}, env...), "Entrypoint": entrypoint},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(digest.Sum(nil))}},
	})
	if err != nil {
		return err
	}
	configDigest := sha256.Sum256(config)
	configName := hex.EncodeToString(configDigest[:]) + ".json"
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	temporary := out + ".tmp"
	file, err := os.Create(temporary)
	if err != nil {
		return err
	}
	defer file.Close()
	archive := tar.NewWriter(file)
	small := func(name string, data []byte) error {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err := archive.Write(data)
		return err
	}
	if err := small("manifest.json", manifest); err != nil {
		return err
	}
	if err := small(configName, config); err != nil {
		return err
	}
	size, err := layer.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: "layer.tar", Mode: 0o644, Size: size}); err != nil {
		return err
	}
	if _, err := io.Copy(archive, layer); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return os.Rename(temporary, out)
}

func writeLayer(to io.Writer, entries map[string]entry) error {
	paths := map[string]bool{}
	for path := range entries {
		for dir := path; dir != "." && dir != ""; dir = filepath.Dir(dir) {
			paths[dir] = true
		}
	}
	sorted := make([]string, 0, len(paths))
	for path := range paths {
		sorted = append(sorted, path)
	}
	sort.Strings(sorted)
	layer := tar.NewWriter(to)
	for _, path := range sorted {
		item, known := entries[path]
		header := &tar.Header{Name: path, ModTime: time.Unix(0, 0)}
		if !known || item.dir {
			header.Typeflag, header.Name, header.Mode = tar.TypeDir, path+"/", 0o755
			if known {
				header.Mode = int64(item.mode)
			}
			if err := layer.WriteHeader(header); err != nil {
				return err
			}
			continue
		}
		info, err := os.Stat(item.source)
		if err != nil {
			return err
		}
		header.Typeflag, header.Mode, header.Size = tar.TypeReg, int64(item.mode|0o444), info.Size()
		if err := layer.WriteHeader(header); err != nil {
			return err
		}
		file, err := os.Open(item.source)
		if err != nil {
			return err
		}
		_, err = io.Copy(layer, file)
		file.Close()
		if err != nil {
			return err
		}
	}
	return layer.Close()
}
