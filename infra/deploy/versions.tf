terraform {
  # 1.9: a variable's validation may look at other variables. OpenTofu 1.9 is the same.
  required_version = ">= 1.9"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = ">= 5.2, < 6.0"
    }
  }
}
