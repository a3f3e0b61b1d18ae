# Builds an image, publishes it with oracle-upload and copies it with image-copy.

variable "source" {
  type = string
}

variable "image" {
  type    = string
  default = "image.tar.gz"
}

variable "application" {
  type = string
}

variable "image_version" {
  type = string
}

variable "os" {
  type    = string
  default = "Linux"
}

variable "ntt_image" {
  type = string
}

# Separated by commas.
variable "ntt_tenants" {
  type = string
}

# The programs read credentials from the environment. As variables, Packer hides
# them in all that it prints.
variable "oracle_client_secret" {
  type      = string
  default   = env("ORACLE_MARKETPLACE_CLIENT_SECRET")
  sensitive = true
}

variable "os_password" {
  type      = string
  default   = env("OS_PASSWORD")
  sensitive = true
}

# In place of a real builder, such as qemu.
source "file" "image" {
  source = var.source
  target = var.image
}

build {
  sources = ["source.file.image"]

  post-processors {
    # First, or Packer deletes the image when what follows fails.
    post-processor "manifest" {
      output = "packer-manifest.json"
    }

    post-processor "shell-local" {
      environment_vars = [
        "IMAGE=${var.image}",
        "APPLICATION=${var.application}",
        "VERSION=${var.image_version}",
        "SYSTEM=${var.os}",
        "NTT_IMAGE=${var.ntt_image}",
        "NTT_TENANTS=${var.ntt_tenants}",
      ]
      inline = [
        "image-copy -check -image \"$NTT_IMAGE\" -to \"$NTT_TENANTS\"",
        "oracle-upload -file \"$IMAGE\" -application \"$APPLICATION\" -image-version \"$VERSION\" -os \"$SYSTEM\" -result oracle-upload.json",
        "image-copy -image \"$NTT_IMAGE\" -to \"$NTT_TENANTS\" -result image-copy.json",
      ]
    }
  }
}
